/** The part of the address that names an incident: `#incident=ID`. */
const NAME = "incident";

export function incidentInLink(hash: string): string | null {
  const id = new URLSearchParams(hash.replace(/^#/, "")).get(NAME);
  return id === null || id === "" ? null : id;
}

export function linkTo(id: string): string {
  return `#${new URLSearchParams({ [NAME]: id })}`;
}
