// Elements out of values. Texts only ever become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg"

export const byId = (id) => document.getElementById(id)

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children)
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) made.setAttribute(key, value)
  }
  made.append(...children.filter((child) => child !== null && child !== undefined))
  return made
}

export const cell = (label, text, kind = "number") =>
  element("td", {class: kind, "data-label": label}, text)

export const count = (label, number, kind) => cell(label, String(number), number ? `number ${kind}` : "number")

export const BADGES = {"on air": "good", silent: "bad", waiting: "warn"}

export const badge = (text, kind = "") => element("span", {class: `badge ${kind}`}, text)

export const seconds = (ms) => (ms === null ? "–" : `${(ms / 1000).toFixed(1)}\u00a0s`)

export const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`

// Only what changed is replaced, so that focus, selection and screen readers stay where they are.
export function show(place, text) {
  if (place.textContent !== text) place.textContent = text
}
