/** Those who look: they sign in once, see what their role may see, and follow a link without either. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { nothingSerious } from "./support/axe";
import { DARK, PHONE } from "./support/browser";
import { drawn, mapReady } from "./support/map";
import { scenario } from "./support/scenario";
import { eventually } from "./support/wait";

const TOKEN = "s3cret-of-the-test";
const AUSTIN = "/#map=14/30.27/-97.74";
const SMALL = { viewport: { width: 720, height: 400 }, locale: "en-IE" };
/** What the browser writes about answers that are expected, and MapLibre about tiles that were refused. */
const REFUSED = [/status of 401/, /assets\/maplibre-gl-/];

const input = (page: Page) => page.getByRole("dialog", { name: "Sign in" }).getByLabel("Token");

async function signIn(page: Page, token: string): Promise<void> {
  await input(page).fill(token);
  await input(page).press("Enter");
  await input(page).waitFor({ state: "detached" });
}

for (const path of ["/", "/incidents"]) {
  scenario(`where a token is set, ${path} asks for it once, again if it is wrong, and keeps it nowhere`, { tokens: [TOKEN] }, async ({ open }) => {
    const window = await open(path, { ...PHONE, ...DARK, allow: REFUSED });
    const { page } = window;
    await input(page).waitFor();
    await nothingSerious(page, "the sign-in");
    // Spaces cannot stand in a token; the dialog stays.
    await input(page).fill("a wrong one");
    await input(page).press("Enter");
    await page.getByText("A token has letters, digits and signs").waitFor();
    await input(page).fill("wrong");
    await input(page).press("Enter");
    await page.getByText("The server does not know this token").waitFor();
    assert.equal(await input(page).inputValue(), "");
    await window.picture(`sign-in${path.replaceAll("/", "-")}`);
    await signIn(page, TOKEN);
    await page.getByText("http.tokens · may do everything").waitFor();
    const kept = await page.evaluate(() => [...Object.values({ ...sessionStorage }), ...Object.values({ ...localStorage }), document.cookie]);
    assert.ok(kept.every((value) => !value.includes(TOKEN)), "a script can read the token");
    assert.equal(await page.evaluate(() => document.cookie), "", "a script can read the cookie");
    await page.reload();
    await page.getByText("http.tokens · may do everything").waitFor();
    assert.equal(await page.getByRole("dialog").count(), 0, "it asks for what it has");
    // On a phone a sheet may lie over the foot of the map.
    if (path === "/") await page.getByRole("button", { name: "Keys and settings" }).click();
    await page.getByRole("button", { name: "Sign out" }).last().click();
    await input(page).waitFor();
  });
}

scenario("a deep link goes on where it leads after the sign-in", { tokens: [TOKEN] }, async ({ vagn, open }) => {
  await vagn.store({ ID: "depot/7", Lat: 30.27, Lon: -97.74, Speed: 8.3, Heading: 90 });
  const { page } = await open(`${AUSTIN}&vehicle=depot%2F7`, { ...SMALL, allow: REFUSED });
  await signIn(page, TOKEN);
  // An id with a slash stands in no path.
  await page.getByText("30 km/h").waitFor();
  await mapReady(page);
  await eventually("the vehicle to be drawn", async () => (await drawn(page)).length === 1);
});

scenario("a session that was ended elsewhere leads to the sign-in, and the page goes on", { tokens: [TOKEN] }, async ({ open }) => {
  const { page } = await open("/incidents", { allow: REFUSED });
  await signIn(page, TOKEN);
  await page.getByText("No emergency waits for you.").waitFor();
  await page.context().clearCookies();
  await input(page).waitFor();
  // What is read out stays in its live region, so the line on the page counts.
  const line = page.locator("p", { hasText: "You are not signed in." });
  await line.waitFor();
  await signIn(page, TOKEN);
  await line.waitFor({ state: "detached" });
});

scenario("who may see approximate places sees those alone, and is told so", {}, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 7", Lat: 30.270_349, Lon: -97.740_349, Speed: 8.3, Heading: 90, Emergency: true });
  const token = await vagn.token("kiosk", "latest");
  const window = await open(`${AUSTIN}&vehicle=bus%207&list=1`, { ...SMALL, allow: REFUSED });
  const { page } = window;
  await signIn(page, token);
  await page.getByText("kiosk · sees approximate places").waitFor();
  await page.getByText("Approximate places", { exact: true }).waitFor();
  await page.getByText("Approximate place: to about 100 m").waitFor();
  await page.getByText("30.270, -97.740").waitFor();
  await mapReady(page);
  await eventually("the vehicle to be drawn at its place on the grid", async () => {
    const [one, ...others] = await drawn(page);
    return one !== undefined && others.length === 0 && Math.abs(one.drawnLat - 30.27) < 1e-6 && Math.abs(one.drawnLon + 97.74) < 1e-6;
  });
  for (const name of ["Speed", "Heading", "Show"]) assert.equal(await page.getByText(name, { exact: true }).filter({ visible: true }).count(), 0, name);
  assert.equal(await page.getByText("call for help").filter({ visible: true }).count(), 0);
  await nothingSerious(page, "approximate places");
  await window.picture("approximate");
  // The lines at the foot take room from the map, not from its scale; its sign stands before the last of them.
  for (const size of [SMALL.viewport, { width: 360, height: 640 }]) {
    await page.setViewportSize(size);
    await eventually("the scale to stand on the lines at the foot", () => page.evaluate(() => {
      const box = (selector: string) => document.querySelector(selector)!.getBoundingClientRect();
      return box(".maplibregl-ctrl-scale").bottom <= box(".foot").top;
    }));
    assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".status")!).position), "relative", "its sign stands elsewhere");
  }
  const console = await open("/incidents", { allow: REFUSED });
  await signIn(console.page, token);
  await console.page.getByText("“kiosk” may see approximate places on the live map").waitFor();
});

scenario("who may look and not act is offered nothing to do, and told why", {}, async ({ vagn, open }) => {
  const key = await vagn.keyId("tram 4");
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74, Emergency: true });
  const forged = Buffer.concat([Buffer.from([0xc1, 0x10]), key, Buffer.alloc(8, 1), Buffer.alloc(40, 7), Buffer.from([0xc3])]);
  type Calls = { calls: { has_key: boolean }[] };
  const calls = async () => (await vagn.json<Calls>("/api/v1/incidents/unproven")).calls;
  await eventually("the call in the list", async () => (await vagn.sendBytes(forged), (await calls())[0]?.has_key === true));
  const { page } = await open("/incidents", { allow: REFUSED });
  await page.getByRole("button", { name: "Raise the call of tram 4 as an emergency" }).waitFor();
  await page.getByRole("button", { name: "Acknowledge the emergency of bus 7" }).waitFor();
  const token = await vagn.token("wall", "read");
  await page.reload();
  await signIn(page, token);
  await page.getByText("seal is wrong").waitFor();
  await page.getByRole("button", { name: /bus 7/ }).first().click();
  await page.getByText("“wall” may look, and not act.").waitFor();
  for (const name of [/Acknowledge/, /Raise/, /Resolve/, "Comment"]) {
    assert.equal(await page.getByRole("button", { name }).count(), 0, String(name));
  }
  assert.equal(await page.getByLabel("Note or comment").filter({ visible: true }).count(), 0);
});

scenario("a link shows one vehicle without a sign-in, says when there is no contact, and ends", { tokens: [TOKEN] }, async ({ vagn, open }) => {
  await vagn.store({ ID: "bus 7", Lat: 30.27, Lon: -97.74, Heading: 90 }, { ID: "bus 8", Lat: 30.28, Lon: -97.74 });
  const share = await vagn.json<{ number: number; url: string }>("/api/v1/shares", { method: "POST", body: { vehicle: "bus 7", expires: "1h" } });
  const path = new URL(share.url).pathname;
  const window = await open(path, { ...PHONE, ...DARK, allow: [/status of 404/, /ERR_|Failed to (load|fetch)/] });
  const { page } = window;
  const asked: string[] = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.getByText("30.27000, -97.74000").waitFor();
  await page.getByText("Heading E 90°").waitFor();
  await vagn.store({ ID: "bus 7", Lat: 30.271, Lon: -97.74 }, { ID: "bus 8", Lat: 30.281, Lon: -97.74 });
  await page.getByText("30.27100, -97.74000").waitFor();
  assert.equal(await page.getByText("Heading E").count(), 0);
  assert.equal(await page.getByText("bus").count(), 0, "not even the id is told");
  await page.locator("canvas.maplibregl-canvas").waitFor();
  await nothingSerious(page, "a shared place");
  await window.picture("share");
  await vagn.kill();
  await page.getByText(/No contact since/).waitFor();
  await vagn.restart();
  await page.getByText(/No contact since/).waitFor({ state: "hidden" });
  await vagn.ask(`/api/v1/shares/${share.number}`, { method: "DELETE" });
  await page.getByText("This link has ended.").waitFor();
  assert.equal(await page.getByText("30.27100").filter({ visible: true }).count(), 0, "the place is gone");
  assert.deepEqual(asked.filter((one) => one.startsWith("/api") || one.startsWith("/tiles")), []);
  await page.reload();
  await page.getByText("This link has ended.").waitFor();
});
