import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as RuntimeDir from "../src/RuntimeDir.ts"

describe("RuntimeDir", () => {
  describe("resolve", () => {
    const home = "/home/ada"

    it("prefers the flag, then the variable, then the home directory", () => {
      const env = { MCP_POOL_RUNTIME_DIR: "/run/pool" }
      assert.strictEqual(RuntimeDir.resolve({ flag: "/srv/pool", env, home }), "/srv/pool")
      assert.strictEqual(RuntimeDir.resolve({ flag: undefined, env, home }), "/run/pool")
      assert.strictEqual(RuntimeDir.resolve({ flag: undefined, env: {}, home }), "/home/ada/.local/state/mcp-pool")
    })

    it("takes an empty variable for an absent one", () => {
      const env = { MCP_POOL_RUNTIME_DIR: "" }
      assert.strictEqual(RuntimeDir.resolve({ flag: undefined, env, home }), "/home/ada/.local/state/mcp-pool")
    })

    it("looks at no XDG variable and no TMPDIR", () => {
      const env = { XDG_RUNTIME_DIR: "/run/user/1", XDG_STATE_HOME: "/state", TMPDIR: "/tmp/x" }
      assert.strictEqual(RuntimeDir.resolve({ flag: undefined, env, home }), "/home/ada/.local/state/mcp-pool")
    })

    it("makes a relative directory absolute", () => {
      assert.strictEqual(RuntimeDir.resolve({ flag: "pool", env: {}, home }), `${process.cwd()}/pool`)
    })
  })

  describe("slug", () => {
    it("keeps a name that is safe as a directory", () => {
      for (const name of ["everything", "GitHub", "a.b_c-1", "x".repeat(32)]) {
        assert.strictEqual(RuntimeDir.slug(name), name)
      }
    })

    it("appends a hash where it differs from the name", () => {
      assert.match(RuntimeDir.slug("my server"), /^my-server-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug("../../etc"), /^etc-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug(".hidden"), /^hidden-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug("-flag"), /^flag-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug("服务器"), /^server-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug(""), /^server-[0-9a-f]{8}$/)
      assert.match(RuntimeDir.slug(".."), /^server-[0-9a-f]{8}$/)
    })

    it("tells names apart that lose the same characters", () => {
      assert.notStrictEqual(RuntimeDir.slug("my server"), RuntimeDir.slug("my/server"))
    })

    it.prop("stays within one path segment of 32 characters", { name: Schema.String }, ({ name }) => {
      const slug = RuntimeDir.slug(name)
      assert.match(slug, /^[A-Za-z0-9_][A-Za-z0-9._-]{0,31}$/)
    })
  })

  it("puts each server into a directory of its own", () => {
    assert.strictEqual(RuntimeDir.controlSocket("/run/pool"), "/run/pool/control.sock")
    assert.strictEqual(RuntimeDir.serverDir("/run/pool", "git"), "/run/pool/servers/git")
    assert.strictEqual(RuntimeDir.serverSocket("/run/pool", "git"), "/run/pool/servers/git/mcp.sock")
    assert.strictEqual(RuntimeDir.socketPathFile("/run/pool", "git"), "/run/pool/servers/git/mcp.path")
  })
})
