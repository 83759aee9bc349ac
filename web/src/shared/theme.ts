/** Light or dark: as the system has it, or as the person chose, kept in this browser. */

export type Theme = "light" | "dark";
export type ThemeChoice = Theme | "system";

const STORED_AS = "vagn.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<(theme: Theme) => void>();

/** What the person chose. */
export function themeChoice(): ThemeChoice {
  try {
    const stored = localStorage.getItem(STORED_AS);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return (document.documentElement.dataset["theme"] as Theme | undefined) ?? "system";
  }
}

/** What the page has now. */
export function theme(): Theme {
  const choice = themeChoice();
  return choice === "system" ? (dark.matches ? "dark" : "light") : choice;
}

export function chooseTheme(choice: ThemeChoice): void {
  try {
    if (choice === "system") localStorage.removeItem(STORED_AS);
    else localStorage.setItem(STORED_AS, choice);
  } catch {
    // A browser that allows no storage keeps the choice until the page is loaded again.
  }
  show(choice);
}

/** Tells `listener` of each change. */
export function onTheme(listener: (theme: Theme) => void): void {
  listeners.add(listener);
}

function show(choice: ThemeChoice): void {
  const { dataset } = document.documentElement;
  if (choice === "system") delete dataset["theme"];
  else dataset["theme"] = choice;
  for (const listener of listeners) listener(choice === "system" ? theme() : choice);
}

dark.addEventListener("change", () => show(themeChoice()));
show(themeChoice());
