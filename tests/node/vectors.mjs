// Writes C2SP's age vectors (npm `cctv-age`) into a folder, one file each.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as vectors from "cctv-age";

const [dir] = process.argv.slice(2);
for (const [name, bytes] of Object.entries(vectors.default ?? vectors)) {
  if (bytes instanceof Uint8Array) writeFileSync(join(dir, name), bytes);
}
