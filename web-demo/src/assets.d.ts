/// What the build turns into addresses and texts.
declare module '*?worker&url' {
  const url: string;
  export default url;
}
declare module '*.css?inline' {
  const css: string;
  export default css;
}
declare module '*.css';
