import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { PartsPage, PostColumns, RunPage } from './page-data.ts';

const compress = promisify(gzip);

/** The places of the template, which has them at its end. */
const RUN_PLACE = '<script type="application/json" id="run"></script>';
const POSTS_PLACE = '<script type="text/plain" id="posts"></script>';

/** What a page is made of, as text that is fit for its place in the page. */
export interface FilledPlaces {
  readonly run: string;
  /** @default none */
  readonly posts?: string;
}

/** The page: the template with what is shown. Throws where the template has no such places. */
export function fillTemplate(template: string, { run, posts = '' }: FilledPlaces): string {
  return fillPlace(fillPlace(template, RUN_PLACE, run), POSTS_PLACE, posts);
}

/** JSON that neither ends the element that it stands in, nor begins a comment there. */
export function jsonInScript(page: RunPage | PartsPage): string {
  return JSON.stringify(page).replaceAll('<', '\\u003c');
}

export async function packed(columns: PostColumns): Promise<string> {
  return (await compress(JSON.stringify(columns))).toString('base64');
}

function fillPlace(template: string, place: string, text: string): string {
  // The last one: the page's own script comes before.
  const start = template.lastIndexOf(place);
  if (start < 0) throw new Error(`Expected the template of the page to have ${place}`);
  const textStart = start + place.lastIndexOf('<');
  return template.slice(0, textStart) + text + template.slice(textStart);
}
