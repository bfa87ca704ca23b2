// Of undici's modules, the two that origin.ts needs: its index loads fetch, WebSocket and caches with them.
declare module 'undici/lib/dispatcher/pool.js' {
  export { Pool as default } from 'undici';
}
declare module 'undici/lib/core/connect.js' {
  export { buildConnector as default } from 'undici';
}
