// typage, the reference age in TypeScript, from the command line: `typage.mjs decrypt IDENTITY IN OUT`, `typage.mjs encrypt RECIPIENT IN OUT`.
import { readFileSync, writeFileSync } from "node:fs";
import { Decrypter, Encrypter } from "age-encryption";

const [command, key, input, output] = process.argv.slice(2);
const bytes = readFileSync(input);
if (command === "decrypt") {
  const decrypter = new Decrypter();
  decrypter.addIdentity(key);
  writeFileSync(output, await decrypter.decrypt(bytes));
} else {
  const encrypter = new Encrypter();
  encrypter.addRecipient(key);
  writeFileSync(output, await encrypter.encrypt(bytes));
}
