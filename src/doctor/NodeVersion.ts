/** Whether this Node is new enough. Pure. */
import { type Finding, of } from "./Finding.ts"

/** The oldest Node that runs the pool: major and minor; a test holds it to package.json. */
export const required = "22.19"

export const check = (version: string): ReadonlyArray<Finding> => {
  const { ok, problem } = of("node")
  const [major = 0, minor = 0] = version.split(".").map(Number)
  const [leastMajor = 0, leastMinor = 0] = required.split(".").map(Number)
  return major > leastMajor || (major === leastMajor && minor >= leastMinor)
    ? [ok(version, `Node ${version}`)]
    : [
        problem(
          version,
          `Node ${version} is too old: ${required} or newer is needed`,
          "nvm install 24, or see nodejs.org"
        )
      ]
}
