// Of undici's modules, those that are needed: its index loads fetch, WebSocket and caches with them.
declare module 'undici/lib/dispatcher/client.js' {
  export { Client as default } from 'undici';
}
declare module 'undici/lib/dispatcher/pool.js' {
  export { Pool as default } from 'undici';
}
declare module 'undici/lib/core/symbols.js' {
  const symbols: { readonly kQueuedAbort: unique symbol };
  export default symbols;
}
declare module 'undici/lib/core/connect.js' {
  export { buildConnector as default } from 'undici';
}
