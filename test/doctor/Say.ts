/** Findings as tests compare them, and what the checks are given. */
import type { Check, Finding } from "../../src/doctor/Finding.ts"
import * as Shell from "../../src/Shell.ts"

export const commands = Shell.commands({ runtimeDir: null, configFiles: [] })

/** Without those that are well: subject, message and mend. */
export const ill = (findings: ReadonlyArray<Finding>, check?: Check) =>
  findings
    .filter((finding) => finding.ok !== "ok" && (check === undefined || finding.check === check))
    .map(({ mend, message, ok, subject }) => [ok, subject, message, mend] as const)
