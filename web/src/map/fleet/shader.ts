/**
 * Program of the graphics card for vehicles: a point per vehicle, read from the bytes of the tile as they came.
 *
 * Places are taken from the centre of the tile as whole numbers before they become floats, so that no zoom shows rounding.
 */
import { MOTION_GLSL } from "./motion";
import { CELLS } from "./shapes";

export const VERTEX = `#version 300 es
precision highp float;
precision highp int;
in ivec2 a_last;
in ivec2 a_before;
in uvec3 a_times;   // received before the base, between the fixes, key
in uint a_rest;     // heading, speed, flags
in float a_start;   // ms after the base of the page's clock
uniform mat4 u_matrix;
uniform ivec2 u_centre;
uniform float u_cosLat;
uniform float u_east;    // units of the tile in a degree
uniform vec3 u_north;    // the same to the north, by powers of degrees
uniform float u_now;     // ms after the base of the page's clock
uniform float u_age;     // ms since the base of the tile's content
uniform float u_size;
uniform int u_filter;
uniform uint u_selected;
uniform bool u_anySelected;
out vec2 v_turn;
out float v_cell;
out float v_alpha;
out float v_size;
flat out int v_kind;
${MOTION_GLSL}
const float DEGREE = 1e-7;
vec2 degrees7(ivec2 way, float rough) {
  // 360 degrees are beyond 32 bits; what has flowed over is put right.
  if (rough > 1.8e9) way.x += 694967296;
  if (rough < -1.8e9) way.x -= 694967296;
  return vec2(way) * DEGREE;
}
bool shown(float age, float speed) {
  bool moving = age < 60000.0 && speed != 255.0 && speed >= 1.0;
  if (u_filter == 1) return moving;
  if (u_filter == 2) return age < 60000.0 && !moving;
  if (u_filter == 3) return age >= 60000.0;
  return true;
}
void main() {
  float heading = float(a_rest & 0xffffu);
  float speed = float((a_rest >> 16) & 0xffu);
  uint flags = a_rest >> 24;
  float age = u_age + float(a_times.x);
  vec2 last = vec2(a_last - u_centre) * DEGREE;
  vec2 back = degrees7(a_before - a_last, float(a_before.x) - float(a_last.x));
  float duration = durationMs(last + back, last, float(a_times.y), u_cosLat);
  vec2 here = last + back * (1.0 - progress(u_now - a_start, duration));
  vec2 local = vec2(here.x * u_east, -here.y * (u_north.x + here.y * (u_north.y + here.y * u_north.z)));
  gl_Position = u_matrix * vec4(local * 8192.0 + 4096.0, 0.0, 1.0);

  bool stale = age >= 60000.0;
  bool directed = heading != 65535.0 && speed >= 1.0;
  bool selected = u_anySelected && a_times.z == u_selected;
  float turn = directed ? radians(heading / 100.0) : 0.0;
  v_turn = vec2(cos(turn), sin(turn));
  v_cell = (directed ? 0.0 : 1.0) + (stale ? 2.0 : 0.0);
  v_kind = selected ? 3 : (flags & 1u) != 0u ? 1 : (flags & 2u) != 0u ? 2 : 0;
  // Who calls for help, or is selected, does not fade.
  v_alpha = v_kind == 0 ? mix(1.0, 0.35, clamp((age - 60000.0) / 540000.0, 0.0, 1.0)) : 1.0;
  v_size = u_size * (v_kind == 0 ? 1.0 : 1.5);
  gl_PointSize = v_size;
  if (!selected && v_kind == 0 && !shown(age, speed)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
in vec2 v_turn;
in float v_cell;
in float v_alpha;
in float v_size;
flat in int v_kind;
uniform sampler2D u_shapes;
uniform vec4 u_body[4];
uniform vec4 u_rim;
out vec4 colour;
void main() {
  vec2 p = gl_PointCoord - 0.5;
  vec2 turned = vec2(p.x * v_turn.x + p.y * v_turn.y, p.y * v_turn.x - p.x * v_turn.y);
  // The corners of the turned square would read the neighbouring cell.
  if (max(abs(turned.x), abs(turned.y)) > 0.5) discard;
  vec4 shape = texture(u_shapes, vec2((v_cell + turned.x + 0.5) / ${CELLS}.0, turned.y + 0.5));
  float rim = shape.g * u_rim.a;
  vec3 mixed = mix(u_rim.rgb, u_body[v_kind].rgb, shape.r);
  float alpha = max(shape.r, rim) * v_alpha;
  if (alpha < 0.01) discard;
  colour = vec4(mixed * alpha, alpha);
}`;
