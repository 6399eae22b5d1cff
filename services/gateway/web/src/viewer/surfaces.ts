// Surfaces of masks and points of picks with WebGL 2. A bundle of its own, loaded when somebody wants to see it.

import type { Triple } from "../api/types.ts";
import { type Matrix, multiply, perspective, rotation, scaling, translation } from "./matrix.ts";
import type { Rgb } from "./palette.ts";
import { surfaceOf } from "./surface-nets.ts";
import { type LabelVolume, cropped, labelBoxes } from "./surface-source.ts";

export interface PointSet {
  /** z, y, x in ångström. */
  positions: Float32Array;
  /** In ångström. */
  radius: number;
  colour: Rgb;
}

interface Shape {
  label: number;
  array: WebGLVertexArrayObject;
  buffers: WebGLBuffer[];
  count: number;
}

// With more labels than this, the smallest are left out.
const SHAPES_MAX = 128;
const ANGLE = Math.PI / 6;
const BACKGROUND = [0.043, 0.051, 0.063] as const;

const SURFACE_VERTEX = `#version 300 es
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
uniform mat4 view;
uniform mat4 projection;
out vec3 facing;
out vec3 place;
void main() {
  vec4 seen = view * vec4(position, 1.0);
  facing = mat3(view) * normal;
  place = seen.xyz;
  gl_Position = projection * seen;
}`;
const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
in vec3 facing;
in vec3 place;
uniform vec3 colour;
out vec4 pixel;
void main() {
  vec3 n = normalize(facing);
  vec3 eye = normalize(-place);
  if (dot(n, eye) < 0.0) n = -n;
  float key = max(dot(n, normalize(vec3(0.4, 0.7, 0.8))), 0.0);
  float sky = 0.5 + 0.5 * n.y;
  float rim = pow(1.0 - max(dot(n, eye), 0.0), 3.0);
  float shine = pow(max(dot(reflect(-eye, n), normalize(vec3(0.4, 0.7, 0.8))), 0.0), 24.0);
  pixel = vec4(colour * (0.22 + 0.22 * sky + 0.62 * key) + 0.14 * rim + 0.16 * shine, 1.0);
}`;
const POINT_VERTEX = `#version 300 es
layout(location = 0) in vec3 position;
uniform mat4 view;
uniform mat4 projection;
uniform float size;
void main() {
  gl_Position = projection * view * vec4(position, 1.0);
  gl_PointSize = max(size / gl_Position.w, 3.0);
}`;
const POINT_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 colour;
uniform float round;
out vec4 pixel;
void main() {
  vec2 at = 2.0 * gl_PointCoord - 1.0;
  float away = dot(at, at) * round;
  if (away > 1.0) discard;
  pixel = vec4(colour * (0.45 + 0.55 * sqrt(1.0 - away)), 1.0);
}`;

/** Why there can be no 3D view in this browser; empty if there can. */
export function unsupported(): string {
  const probe = document.createElement("canvas").getContext("webgl2");
  if (probe) probe.getExtension("WEBGL_lose_context")?.loseContext();
  return probe ? "" : "This browser has no WebGL 2, or it is switched off, so there is no 3D view. The sections show the same mask.";
}

export class SurfaceView {
  /** Triangles of the surfaces that are shown. */
  triangles = 0;
  private readonly gl: WebGL2RenderingContext;
  private readonly surfaces: WebGLProgram;
  private readonly points: WebGLProgram;
  private shapes: Shape[] = [];
  private box: Shape;
  private pointShape: Shape | null = null;
  private pointSet: PointSet | null = null;
  private yaw = 0.5;
  private pitch = 0.45;
  private distance = 3.1;
  private shift = { x: 0, y: 0 };
  private request = 0;
  private readonly model: Matrix;
  private readonly unit: number;

  /**
   * @param size of the volume in ångström (z, y, x)
   * @param colourOf a label; null hides it
   */
  constructor(
    readonly canvas: HTMLCanvasElement,
    size: Triple,
    private readonly colourOf: (label: number) => Rgb | null,
  ) {
    this.gl = canvas.getContext("webgl2", { antialias: true, alpha: false })!;
    this.surfaces = this.program(SURFACE_VERTEX, SURFACE_FRAGMENT);
    this.points = this.program(POINT_VERTEX, POINT_FRAGMENT);
    this.unit = 1 / Math.max(...size);
    // Rows run down, as in the sections.
    this.model = multiply(scaling(this.unit, -this.unit, -this.unit), translation(-size[2] / 2, -size[1] / 2, -size[0] / 2));
    this.box = this.upload(0, boxLines(size), null, null);
  }

  /** Show surfaces of all labels; takes a moment for each, and gives way to the page in between. */
  async setLabels({ labels, shape, factors }: LabelVolume, voxelSize: Triple, signal: AbortSignal): Promise<void> {
    const boxes = [...labelBoxes(labels, shape)].sort((one, other) => other[1].count - one[1].count).slice(0, SHAPES_MAX);
    const step = [0, 1, 2].map((axis) => voxelSize[axis]! * factors[axis]!) as unknown as Triple;
    const shapes: Shape[] = [];
    for (const [label, box] of boxes) {
      await new Promise((resolve) => setTimeout(resolve));
      if (signal.aborted) break;
      const part = cropped(labels, shape, box);
      const mesh = surfaceOf(part.labels, part.shape, label);
      shapes.push(this.upload(label, inAngstrom(mesh.positions, box.from, step), inSpace(mesh.normals, step), mesh.triangles));
    }
    if (signal.aborted) {
      for (const shape of shapes) this.free(shape);
      return;
    }
    for (const shape of this.shapes) this.free(shape);
    this.shapes = shapes;
    this.triangles = shapes.reduce((sum, { count }) => sum + count / 3, 0);
    this.draw();
  }

  setPoints(points: PointSet | null): void {
    if (this.pointShape) this.free(this.pointShape);
    this.pointSet = points;
    this.pointShape = points ? this.upload(0, xyz(points.positions), null, null) : null;
    this.draw();
  }

  rotate(dx: number, dy: number): void {
    this.yaw += 0.008 * dx;
    this.pitch = Math.min(Math.max(this.pitch + 0.008 * dy, -Math.PI / 2), Math.PI / 2);
    this.draw();
  }

  pan(dx: number, dy: number): void {
    const perPixel = (2 * this.distance * Math.tan(ANGLE / 2)) / this.canvas.clientHeight;
    this.shift = { x: this.shift.x + dx * perPixel, y: this.shift.y - dy * perPixel };
    this.draw();
  }

  zoom(factor: number): void {
    this.distance = Math.min(Math.max(this.distance / factor, 0.3), 12);
    this.draw();
  }

  reset(): void {
    [this.yaw, this.pitch, this.distance, this.shift] = [0.5, 0.45, 3.1, { x: 0, y: 0 }];
    this.draw();
  }

  /** Draw at the next opportunity. */
  draw(): void {
    cancelAnimationFrame(this.request);
    this.request = requestAnimationFrame(() => this.drawNow());
  }

  close(): void {
    cancelAnimationFrame(this.request);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private drawNow(): void {
    const { gl, canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    gl.viewport(0, 0, width, height);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(...BACKGROUND, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const view = multiply(
      translation(this.shift.x, this.shift.y, -this.distance),
      multiply(rotation(this.yaw, this.pitch), this.model),
    );
    const projection = perspective(ANGLE, width / height, 0.05, 20);
    this.use(this.surfaces, view, projection);
    for (const shape of this.shapes) {
      const colour = this.colourOf(shape.label);
      if (!colour) continue;
      this.setColour(this.surfaces, colour);
      gl.bindVertexArray(shape.array);
      gl.drawElements(gl.TRIANGLES, shape.count, gl.UNSIGNED_INT, 0);
    }
    this.use(this.points, view, projection);
    this.drawPoints(height);
    gl.uniform1f(gl.getUniformLocation(this.points, "round"), 0);
    this.setColour(this.points, [96, 108, 128]);
    gl.bindVertexArray(this.box.array);
    gl.drawArrays(gl.LINES, 0, this.box.count);
  }

  private drawPoints(height: number): void {
    const { gl, pointShape, pointSet } = this;
    if (!pointShape || !pointSet) return;
    const size = (2 * pointSet.radius * this.unit * height) / (2 * Math.tan(ANGLE / 2));
    gl.uniform1f(gl.getUniformLocation(this.points, "size"), size);
    gl.uniform1f(gl.getUniformLocation(this.points, "round"), 1);
    this.setColour(this.points, pointSet.colour);
    gl.bindVertexArray(pointShape.array);
    gl.drawArrays(gl.POINTS, 0, pointShape.count);
  }

  private use(program: WebGLProgram, view: Matrix, projection: Matrix): void {
    const { gl } = this;
    gl.useProgram(program);
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "view"), false, view);
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "projection"), false, projection);
  }

  private setColour(program: WebGLProgram, [red, green, blue]: Rgb): void {
    this.gl.uniform3f(this.gl.getUniformLocation(program, "colour"), red / 255, green / 255, blue / 255);
  }

  private upload(label: number, positions: Float32Array, normals: Float32Array | null, triangles: Uint32Array | null): Shape {
    const { gl } = this;
    const array = gl.createVertexArray();
    const buffers: WebGLBuffer[] = [];
    gl.bindVertexArray(array);
    [positions, normals].forEach((content, location) => {
      if (!content) return;
      const buffer = gl.createBuffer();
      buffers.push(buffer);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, content, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, 3, gl.FLOAT, false, 0, 0);
    });
    if (triangles) {
      const buffer = gl.createBuffer();
      buffers.push(buffer);
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, triangles, gl.STATIC_DRAW);
    }
    gl.bindVertexArray(null);
    return { label, array, buffers, count: triangles ? triangles.length : positions.length / 3 };
  }

  private free({ array, buffers }: Shape): void {
    this.gl.deleteVertexArray(array);
    for (const buffer of buffers) this.gl.deleteBuffer(buffer);
  }

  private program(vertex: string, fragment: string): WebGLProgram {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
      const shader = gl.createShader(type)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`A shader failed: ${gl.getProgramInfoLog(program)}`);
    return program;
  }
}

/** Positions of a crop in voxels (z, y, x) as ångström (x, y, z). */
function inAngstrom(positions: Float32Array, from: Triple, step: Triple): Float32Array {
  const found = new Float32Array(positions.length);
  for (let n = 0; n < positions.length; n += 3) {
    for (let axis = 0; axis < 3; axis++) found[n + 2 - axis] = (positions[n + axis]! + from[axis]!) * step[axis]!;
  }
  return found;
}

/** Normals of voxels (z, y, x) in space (x, y, z). */
function inSpace(normals: Float32Array, step: Triple): Float32Array {
  const found = new Float32Array(normals.length);
  for (let n = 0; n < normals.length; n += 3) {
    for (let axis = 0; axis < 3; axis++) found[n + 2 - axis] = normals[n + axis]! / step[axis]!;
  }
  return found;
}

function xyz(positions: Float32Array): Float32Array {
  return positions.map((_, n) => positions[n - (n % 3) + 2 - (n % 3)]!);
}

/** The twelve edges of the volume, as x, y, z. */
function boxLines([depth, height, width]: Triple): Float32Array {
  const corner = (n: number) => [n & 1 ? width : 0, n & 2 ? height : 0, n & 4 ? depth : 0];
  const pairs = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((one) => [1, 2, 4].filter((bit) => !(one & bit)).map((bit) => [one, one | bit]));
  return Float32Array.from(pairs.flatMap(([one, other]) => [...corner(one!), ...corner(other!)]));
}
