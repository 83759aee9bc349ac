/** The page of keys, settings and shapes. */
import { el } from "../shared/dom";
import { strings } from "../shared/strings";
import { chooseTheme, themeChoice, type ThemeChoice } from "../shared/theme";
import type { UnitSystem } from "../shared/units";
import { whoLine } from "../shared/who";

const words = strings.map;

export interface HelpActions {
  units(): UnitSystem;
  setUnits(units: UnitSystem): void;
  keysOn(): boolean;
  setKeysOn(on: boolean): void;
}

export function showHelp(actions: HelpActions): void {
  const done = el("button", { class: "primary", text: words.close, attrs: { type: "submit" } });
  const dialog = el(
    "dialog",
    { class: "dialog help", attrs: { "aria-labelledby": "help-title" } },
    el(
      "form",
      { attrs: { method: "dialog" } },
      el("h2", { id: "help-title", text: words.helpTitle }),
      whoLine(),
      settings(actions),
      el("h3", { text: words.legend }),
      legend(),
      el("p", { class: "soft", text: words.motion }),
      el("h3", { text: words.keysTitle }),
      keys(actions),
      el("p", { class: "soft", text: words.mapKeys }),
      el("div", { class: "dialog-buttons" }, done),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  done.focus();
}

function settings(actions: HelpActions): HTMLElement {
  const units = choice({ metric: words.metric, imperial: words.imperial }, actions.units(), (value) => actions.setUnits(value));
  const look = choice<ThemeChoice>(words.looks, themeChoice(), chooseTheme);
  return el("div", { class: "settings" }, el("label", {}, words.units, units), el("label", {}, words.look, look));
}

function choice<Value extends string>(
  options: Record<Value, string>,
  chosen: Value,
  choose: (value: Value) => void,
): HTMLSelectElement {
  const entries = Object.entries(options) as [Value, string][];
  const select = el(
    "select",
    {},
    ...entries.map(([value, text]) => el("option", { text, attrs: { value, selected: value === chosen } })),
  );
  select.addEventListener("change", () => choose(select.value as Value));
  return select;
}

function legend(): HTMLElement {
  const items = Object.entries(words.legendItems);
  return el("ul", { class: "legend" }, ...items.map(([shape, text]) => el("li", {}, drawing(shape), text)));
}

const SHAPES: Record<string, string> = {
  moving: "M12 3l6 17-6-3.5L6 20z",
  standing: "M12 6a6 6 0 1 0 0 12a6 6 0 0 0 0-12z",
  silent: "M12 3l6 17-6-3.5L6 20z",
  call: "M12 22c-1-4-7-7-7-12a7 7 0 0 1 14 0c0 5-6 8-7 12zM12 6v5M12 13.6v.2",
  drill: "M12 22c-1-4-7-7-7-12a7 7 0 0 1 14 0c0 5-6 8-7 12zM10 6.5v7h1.5a3.5 3.5 0 0 0 0-7z",
};

function drawing(shape: string): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `shape ${shape}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[shape] ?? "");
  svg.append(path);
  return svg;
}

function keys(actions: HelpActions): HTMLElement {
  const box = el("input", { attrs: { type: "checkbox", checked: actions.keysOn() } });
  box.addEventListener("change", () => actions.setKeysOn(box.checked));
  const rows = Object.entries(words.keys).flatMap(([key, text]) => [
    el("dt", {}, el("kbd", { text: key.length === 1 ? key.toUpperCase() : key })),
    el("dd", { text }),
  ]);
  return el("div", {}, el("label", { class: "check" }, box, words.keysOn), el("dl", { class: "keys" }, ...rows));
}
