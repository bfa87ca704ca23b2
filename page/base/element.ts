/** What stands in an element: text is text, whatever is in it. */
export type Child = Node | string | false | null | undefined;

/** Attributes, and listeners under their names with `on` before them; one that is undefined or false is left out. */
export type Attributes = Readonly<
  Record<string, string | number | boolean | undefined | ((event: never) => void)>
>;

/** Makes an HTML element. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(key.slice(2), value as EventListener);
    else if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : `${value}`);
  }
  made.append(...children.filter(isChild));
  return made;
}

function isChild(child: Child): child is Node | string {
  return child !== null && child !== undefined && child !== false;
}

/** Text of others', in whatever direction it is written: it neither runs nor turns round what stands beside it. */
export function foreign(text: string | number): HTMLElement {
  return element('bdi', {}, `${text}`);
}
