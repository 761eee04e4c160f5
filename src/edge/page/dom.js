// Makes and fills elements. Styles are never written as attributes: the page's policy forbids them.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An element of HTML. */
export const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** Puts these children in the place of those that are there. */
export const fill = (node, ...children) => node.replaceChildren(...children.flat().filter((child) => child !== null));

/** Sets a text only where it changes, so that a selection or a screen reader is not disturbed. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A colour of the page's, for what draws on a canvas. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The choice of a group of radio buttons. */
export const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export const wantsMotion = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Calls back with an element's width, now and whenever it changes. */
export function onWidth(node, callback) {
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== last) callback((last = width));
  }).observe(node);
}
