import * as HostFolder from "./test/adopt/HostFolder.ts"
import * as fs from "node:fs"
import * as path from "node:path"
const home = process.argv[2]!
for (const [name, text] of Object.entries(HostFolder.files("linux", home))) {
  const file = path.join(home, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, text)
}
