/** The suites and the peer, which the package itself does not depend on. */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"

/** Installs them where that has not been done, or not with this lock file. */
export const install = (): void => {
  const lock = path.join(import.meta.dirname, "package-lock.json")
  const installed = path.join(import.meta.dirname, "node_modules/.package-lock.json")
  if (fs.existsSync(installed) && fs.statSync(installed).mtimeMs >= fs.statSync(lock).mtimeMs) return
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: import.meta.dirname,
    stdio: "inherit",
    timeout
  })
}

/** Milliseconds. */
const timeout = 300_000
