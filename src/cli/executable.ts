/** The program that runs now, as a host can start it. */
import * as Fs from "node:fs"
import type { Program } from "../hosts/Connect.ts"

/** A host starts its entries with another PATH and directory, so nothing is relative or a link that moves. */
export const executable = (): Omit<Program, "runtimeDir"> => ({
  node: process.execPath,
  script: Fs.realpathSync(process.argv[1]!)
})
