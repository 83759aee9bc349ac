/**
 * The layer of vehicles: MapLibre's custom layer with one draw per tile.
 *
 * JavaScript works once per update and tile; between two updates the graphics card moves the vehicles by itself.
 */
import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibre } from "maplibre-gl";
import { nameOf, type TileId } from "./cover";
import { tileFrame } from "./frame";
import { STRIDE, type Tile } from "./record";
import { FRAGMENT, VERTEX } from "./shader";
import { drawShapes } from "./shapes";

/** Colour as red, green, blue and opacity, each 0 to 1. */
export type Colour = readonly [number, number, number, number];

export interface Look {
  /** Bodies: ordinary, real emergency, drill, selected. */
  body: readonly [Colour, Colour, Colour, Colour];
  rim: Colour;
}

export interface Scene {
  tiles: TileId[];
  /** Age in ms of a tile's base. */
  ageMs(tile: Tile): number;
  nowMs(): number;
  look: Look;
  filter: number;
  selected: number | null;
}

interface Loaded {
  tile: Tile;
  starts: Float32Array<ArrayBuffer>;
  baseMs: number;
  records: WebGLBuffer | null;
  startsBuffer: WebGLBuffer | null;
  vertices: WebGLVertexArrayObject | null;
  uploaded: boolean;
}

const UNIFORMS = [
  "u_matrix",
  "u_centre",
  "u_cosLat",
  "u_east",
  "u_north",
  "u_now",
  "u_age",
  "u_size",
  "u_filter",
  "u_selected",
  "u_anySelected",
  "u_shapes",
  "u_body",
  "u_rim",
] as const;
const ATTRIBUTES = ["a_last", "a_before", "a_times", "a_rest", "a_start"] as const;

export class VehicleLayer implements CustomLayerInterface {
  readonly id = "vehicles";
  readonly type = "custom" as const;
  private readonly loaded = new Map<string, Loaded>();
  private gl: WebGL2RenderingContext | null = null;
  private map: MapLibre | null = null;
  private program: WebGLProgram | null = null;
  private texture: WebGLTexture | null = null;
  private places: Partial<Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>> = {};

  constructor(private readonly scene: () => Scene) {}

  /** Takes the content of a tile, with the times at which its vehicles set out, in ms after `baseMs` of the page's clock. */
  put(name: string, tile: Tile, starts: Float32Array<ArrayBuffer>, baseMs: number): void {
    const old = this.loaded.get(name);
    const kept = old ?? { records: null, startsBuffer: null, vertices: null };
    this.loaded.set(name, { ...kept, tile, starts, baseMs, uploaded: false });
    this.map?.triggerRepaint();
  }

  drop(name: string): void {
    const old = this.loaded.get(name);
    if (old) this.free(old);
    this.loaded.delete(name);
    this.map?.triggerRepaint();
  }

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    this.map = map;
    this.gl = gl;
    this.program = link(gl);
    for (const name of UNIFORMS) this.places[name] = gl.getUniformLocation(this.program, name);
    this.texture = null;
    // What an earlier context held is gone with it.
    for (const [name, old] of this.loaded) {
      this.loaded.set(name, { ...old, records: null, startsBuffer: null, vertices: null, uploaded: false });
    }
  }

  onRemove(): void {
    this.gl = null;
    this.map = null;
  }

  render(gl: WebGL2RenderingContext, input: CustomRenderMethodInput): void {
    const scene = this.scene();
    if (!this.program || scene.tiles.length === 0) return;
    gl.useProgram(this.program);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.setLook(gl, scene);
    for (const id of scene.tiles) {
      const loaded = this.loaded.get(nameOf(id));
      if (!loaded || loaded.tile.count === 0) continue;
      this.upload(gl, loaded);
      this.setTile(gl, id, loaded, scene, input);
      gl.drawArrays(gl.POINTS, 0, loaded.tile.count);
    }
    gl.bindVertexArray(null);
  }

  private setLook(gl: WebGL2RenderingContext, scene: Scene): void {
    const zoom = this.map?.getZoom() ?? 11;
    const size = 13 + 15 * Math.min(1, Math.max(0, (zoom - 11) / 6));
    gl.activeTexture(gl.TEXTURE0);
    // Not when the layer is added: MapLibre would not notice that the state of the card is another one.
    this.texture ??= shapesTexture(gl);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.uniform1i(this.at("u_shapes"), 0);
    gl.uniform1f(this.at("u_size"), size * devicePixelRatio);
    gl.uniform1i(this.at("u_filter"), scene.filter);
    gl.uniform1i(this.at("u_anySelected"), Number(scene.selected !== null));
    gl.uniform1ui(this.at("u_selected"), scene.selected ?? 0);
    gl.uniform4fv(this.at("u_body"), scene.look.body.flat());
    gl.uniform4fv(this.at("u_rim"), scene.look.rim);
  }

  private setTile(gl: WebGL2RenderingContext, id: TileId, loaded: Loaded, scene: Scene, input: CustomRenderMethodInput): void {
    const size = 2 ** id.z;
    const wrap = Math.floor(id.x / size);
    const canonical = { z: id.z, x: id.x - wrap * size, y: id.y };
    const frame = tileFrame(canonical);
    gl.bindVertexArray(loaded.vertices);
    gl.uniformMatrix4fv(this.at("u_matrix"), false, input.getProjectionData({ tileID: { wrap, canonical } }).mainMatrix);
    gl.uniform2i(this.at("u_centre"), frame.centre[0], frame.centre[1]);
    gl.uniform1f(this.at("u_cosLat"), frame.cosLat);
    gl.uniform1f(this.at("u_east"), frame.east);
    gl.uniform3f(this.at("u_north"), ...frame.north);
    gl.uniform1f(this.at("u_now"), scene.nowMs() - loaded.baseMs);
    gl.uniform1f(this.at("u_age"), scene.ageMs(loaded.tile));
  }

  private upload(gl: WebGL2RenderingContext, loaded: Loaded): void {
    if (loaded.uploaded) return;
    loaded.vertices ??= gl.createVertexArray();
    loaded.records ??= gl.createBuffer();
    loaded.startsBuffer ??= gl.createBuffer();
    gl.bindVertexArray(loaded.vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, loaded.records);
    gl.bufferData(gl.ARRAY_BUFFER, loaded.tile.bytes, gl.STREAM_DRAW);
    for (const at of [0, 1, 2, 3, 4]) gl.enableVertexAttribArray(at);
    gl.vertexAttribIPointer(0, 2, gl.INT, STRIDE, STRIDE);
    gl.vertexAttribIPointer(1, 2, gl.INT, STRIDE, STRIDE + 8);
    gl.vertexAttribIPointer(2, 3, gl.UNSIGNED_INT, STRIDE, STRIDE + 16);
    gl.vertexAttribIPointer(3, 1, gl.UNSIGNED_INT, STRIDE, STRIDE + 28);
    gl.bindBuffer(gl.ARRAY_BUFFER, loaded.startsBuffer);
    gl.bufferData(gl.ARRAY_BUFFER, loaded.starts, gl.STREAM_DRAW);
    gl.vertexAttribPointer(4, 1, gl.FLOAT, false, 0, 0);
    loaded.uploaded = true;
  }

  private at(name: (typeof UNIFORMS)[number]): WebGLUniformLocation | null {
    return this.places[name] ?? null;
  }

  private free(old: Loaded): void {
    this.gl?.deleteBuffer(old.records);
    this.gl?.deleteBuffer(old.startsBuffer);
    this.gl?.deleteVertexArray(old.vertices);
  }
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, text] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (!shader) throw new Error("the browser makes no shader");
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
  }
  ATTRIBUTES.forEach((name, at) => gl.bindAttribLocation(program, at, name));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "program");
  return program;
}

function shapesTexture(gl: WebGL2RenderingContext): WebGLTexture {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_FLIP_Y_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, drawShapes());
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  return texture;
}
