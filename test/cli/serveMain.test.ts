import { assert, describe, it } from "@effect/vitest"
import { parse } from "../../src/cli/serveMain.ts"
import { type HttpOptions, toFlags } from "../../src/http/HttpOptions.ts"

const nothing: NonNullable<ReturnType<typeof parse>> = {
  configFiles: [],
  runtimeDir: undefined,
  strict: false,
  background: false,
  watchConfig: false,
  http: undefined,
  logFormat: undefined,
  logLevel: "Info"
}

describe("serve's own command line", () => {
  it("is understood with each flag, in any order", () => {
    assert.deepStrictEqual(parse([]), nothing)
    assert.deepStrictEqual(
      parse([
        "--watch-config",
        "--config",
        "b",
        "--log-format",
        "json",
        "--strict",
        "--config",
        "a",
        "--runtime-dir",
        "/r"
      ]),
      { ...nothing, configFiles: ["b", "a"], strict: true, watchConfig: true, runtimeDir: "/r", logFormat: "json" }
    )
    assert.deepStrictEqual(parse(["--background"]), { ...nothing, background: true })
  })

  const plain: HttpOptions = {
    address: { host: "127.0.0.1", port: 8080 },
    auth: "token",
    allowedHosts: [],
    idle: 1_800_000,
    waits: false
  }
  for (const http of [
    plain,
    { ...plain, address: { host: "localhost", port: 0 }, auth: "none" },
    { ...plain, address: { host: "::1", port: 65_535 }, idle: 90_500 },
    { ...plain, address: { host: "0.0.0.0", port: 80 }, allowedHosts: ["host.docker.internal", "[::2]"], waits: true }
  ] as const) {
    it(`is understood with ${toFlags(http).join(" ")}`, () => {
      assert.deepStrictEqual(parse(toFlags(http)), { ...nothing, http })
    })
  }

  for (const flags of [
    ["--help"],
    ["--strict", "--strict"],
    ["--config"],
    ["--log-format", "xml"],
    ["--http"],
    ["--http", "nowhere:http"],
    ["--http", "1", "--http", "2"],
    ["--http", "1", "--http-auth", "all"],
    ["--http", "0.0.0.0:1", "--http-auth", "none"],
    ["--http", "1", "--http-idle", "soon"],
    ["--http", "1", "--http-idle", "0s"],
    ["--http", "1", "--allowed-host", "http://x/"],
    ["--http-wait"],
    ["--allowed-host", "x"],
    ["--runtime-dir=/r"],
    ["more"]
  ]) {
    it(`is left to the command tree with ${flags.join(" ")}`, () => assert.isUndefined(parse(flags)))
  }
})
