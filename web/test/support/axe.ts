/** The accessibility checks of axe-core, on a page as it is. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Violation {
  id: string;
  impact: string;
  nodes: { html: string }[];
}

/** Fails where axe finds something serious or critical; `state` says what is open on the page. */
export async function nothingSerious(page: Page, state: string): Promise<void> {
  // The policy of the page forbids a script element; what the debugger runs is not bound by it.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: Violation[]; passes: unknown[] }> } };
    const { violations, passes } = await axe.run();
    return { passes: passes.length, faults: violations.map(({ id, impact, nodes }) => `${impact}: ${id}: ${nodes.map((node) => node.html).join(" ")}`) };
  });
  assert.ok(found.passes > 10, `axe has looked at nothing (${state})`);
  assert.deepEqual(found.faults.filter((fault) => /^(serious|critical)/.test(fault)), [], state);
}
