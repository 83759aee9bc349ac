// Asks the API for the nearest vehicles to the point in the form, and again every two seconds while wanted and visible.

const REFRESH_MS = 2000;
const TIMEOUT_MS = 8000;
const CALLS_TIMEOUT_MS = 1000; // the table does not wait longer for its badges
const CALLS = "/api/v1/incidents?limit=1000&state=";
const UNRESOLVED = ["open", "notified", "acknowledged"];

const part = (id) => document.getElementById(id);
const form = part("ask");
const [lat, lon, k, token] = ["lat", "lon", "k", "token"].map(part);
let asked = null; // the point that the table shows and refreshes
let timer = 0;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!check()) return;
  const place = new URLSearchParams({ lat: number(lat), lon: number(lon), k: k.value });
  const hash = `#${place}`;
  if (location.hash === hash) ask(place);
  else location.hash = hash; // so that the view can be bookmarked; the event `hashchange` then asks
});
part("locate").addEventListener("click", locate);
part("refresh").addEventListener("change", schedule);
window.addEventListener("hashchange", readHash);
document.addEventListener("visibilitychange", schedule);
readHash();

/** Accepts a comma as decimal sign, as half of Europe types it. */
function number(field) {
  return field.value.trim().replace(",", ".");
}

function check() {
  const wrong = [
    [lat, within(lat, -90, 90), "Latitude must be a number from -90 to 90."],
    [lon, within(lon, -180, 180), "Longitude must be a number from -180 to 180."],
    [k, within(k, 1, 1000) && Number.isInteger(Number(k.value)), "How many must be a whole number from 1 to 1000."],
  ].filter(([field, right]) => { field.setAttribute("aria-invalid", String(!right)); return !right; });
  if (wrong.length === 0) return true;
  alarm(wrong.map(([, , why]) => why).join(" "));
  wrong[0][0].focus();
  return false;
}

function within(field, least, most) {
  const text = number(field);
  return text !== "" && Number(text) >= least && Number(text) <= most;
}

function readHash() {
  const place = new URLSearchParams(location.hash.slice(1));
  if (!place.has("lat") || !place.has("lon")) return;
  lat.value = place.get("lat");
  lon.value = place.get("lon");
  if (place.has("k")) k.value = place.get("k");
  if (check()) ask(new URLSearchParams({ lat: number(lat), lon: number(lon), k: k.value }));
}

function locate() {
  const button = part("locate");
  if (!navigator.geolocation) return alarm("This browser does not tell its location.");
  button.disabled = true;
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      button.disabled = false;
      lat.value = coords.latitude.toFixed(5);
      lon.value = coords.longitude.toFixed(5);
      form.requestSubmit();
    },
    (error) => { button.disabled = false; alarm(`The location is not known: ${error.message}`); },
    { timeout: TIMEOUT_MS },
  );
}

async function ask(place) {
  asked = place;
  clearTimeout(timer);
  try {
    const headers = token.value ? { Authorization: `Bearer ${token.value}` } : {};
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(`/api/v1/vehicles/nearby?${place}`, { headers, signal });
    const answer = await response.json();
    const calls = response.ok && answer.features.some(flagged) ? await openCalls(headers) : new Map();
    if (place !== asked) return; // another point was asked for meanwhile
    if (response.ok) show(place, answer, calls);
    else refused(response.status, answer);
  } catch (error) {
    if (place === asked) alarm(`No answer from the server: ${error.message}`);
  }
  if (place === asked) schedule();
}

function flagged({ properties }) {
  return properties.emergency_flag;
}

/**
 * Finds the badge of each vehicle that has an incident that is not resolved. A real one outweighs a test. While the list of
 * incidents is not complete no vehicle gets the badge of a test, because it may have a real incident too.
 */
async function openCalls(headers) {
  const calls = new Map();
  try {
    const signal = AbortSignal.timeout(CALLS_TIMEOUT_MS);
    const read = async (state) => (await fetch(CALLS + state, { headers, signal })).json();
    const pages = await Promise.all(UNRESOLVED.map(read));
    const all = pages.every(({ next, complete }) => complete && next === null);
    for (const { vehicle_id: id, test } of pages.flatMap(({ incidents }) => incidents)) {
      if (!test) calls.set(id, "Emergency");
      else if (all && !calls.has(id)) calls.set(id, "Test");
    }
  } catch {
    // Without the incidents the badges show the flag alone.
  }
  return calls;
}

function refused(status, problem) {
  if (status === 401) return askForToken();
  alarm(problem.detail ?? problem.title ?? `The server answered ${status}.`);
}

/** Stops the refresh until another token is given. */
function askForToken() {
  asked = null;
  part("token-field").hidden = false;
  token.focus();
  alarm(token.value ? "This access token is not known here." : "This server asks for an access token.");
}

function schedule() {
  clearTimeout(timer);
  if (asked && part("refresh").checked && !document.hidden) timer = setTimeout(() => ask(asked), REFRESH_MS);
}

/** Shows a fault. The table stays on the screen, but no longer looks fresh. */
function alarm(text) {
  part("alert").textContent = text;
  part("alert").hidden = false;
  part("result").classList.add("old");
}

function show(place, { features, time }, calls) {
  part("alert").hidden = true;
  part("result").hidden = features.length === 0;
  part("result").classList.remove("old");
  part("rows").replaceChildren(...features.map((feature) => row(feature, calls)));
  part("caption").textContent = `Nearest to ${place.get("lat")}, ${place.get("lon")} at ${time.slice(11, 19)} UTC`;
  say(features.length === 0 ? "No vehicle is known." : `${features.length} vehicles, nearest first.`);
}

/** Announces a change only: a screen reader should not hear the same sentence every two seconds. */
function say(text) {
  if (part("notice").textContent !== text) part("notice").textContent = text;
}

function row({ id, geometry, properties: seen }, calls) {
  const [x, y] = geometry.coordinates;
  const line = element("tr", "row");
  const name = element("th", "rowheader", id);
  name.scope = "row";
  if (seen.emergency_flag) name.append(badge(calls.get(id)));
  line.append(
    name,
    cell("Distance", distance(seen.distance_m)),
    cell("Age", age(seen.age_s)),
    cell("Speed", seen.speed_mps === null ? "–" : `${Math.round(seen.speed_mps * 3.6)} km/h`),
    cell("Heading", seen.heading_deg === null ? "–" : `${Math.round(seen.heading_deg) % 360}°`),
    cell("Position", `${y.toFixed(5)}, ${x.toFixed(5)}`),
  );
  return line;
}

function cell(label, text) {
  const data = element("td", "cell", text);
  data.className = "number";
  data.dataset.label = label;
  return data;
}

function badge(call = "Flagged") {
  const mark = document.createElement("span");
  mark.className = call === "Test" ? "call test" : "call";
  mark.textContent = call;
  if (call === "Flagged") mark.title = "Its last report carried the emergency flag; see its incidents.";
  return mark;
}

function element(tag, role, text = "") {
  const made = document.createElement(tag);
  made.setAttribute("role", role);
  made.textContent = text;
  return made;
}

function distance(metres) {
  if (metres < 999.5) return `${Math.round(metres)} m`;
  return metres < 99950 ? `${(metres / 1000).toFixed(1)} km` : `${Math.round(metres / 1000)} km`;
}

function age(seconds) {
  if (seconds < 0) return "ahead";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const units = [[60, "s", 1], [3600, "min", 60], [86400, "h", 3600], [Infinity, "d", 86400]];
  const [, unit, size] = units.find(([below]) => seconds < below);
  return `${Math.round(seconds / size)} ${unit}`;
}
