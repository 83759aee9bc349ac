/** A wire between a browser and a service that counts what comes through: bytes as they travel, encrypted, with all that HTTP adds. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import type { Vagn } from "../../test/support/vagn";

export class Wire {
  /** Bytes from the service, and from the browser. */
  down = 0;
  up = 0;
  readonly #server: Server;
  readonly #ends = new Set<Socket>();

  private constructor(to: number) {
    this.#server = createServer((browser) => {
      const service = connect(to, "127.0.0.1");
      browser.on("data", (piece) => (this.up += piece.length)).pipe(service);
      service.on("data", (piece) => (this.down += piece.length)).pipe(browser);
      for (const [one, other] of [
        [browser, service],
        [service, browser],
      ] as const) {
        this.#ends.add(one);
        one.on("error", () => other.destroy()).on("close", () => this.#ends.delete(one) && other.destroy());
      }
    });
  }

  static async to(vagn: Vagn): Promise<Wire> {
    const wire = new Wire(vagn.port("http"));
    wire.#server.listen(0, "127.0.0.1");
    await once(wire.#server, "listening");
    return wire;
  }

  /** The address of a page over this wire. */
  url(path: string): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  close(): void {
    this.#server.close();
    // A connection that is left over must not keep the measurement from ending.
    for (const end of this.#ends) end.destroy();
  }
}
