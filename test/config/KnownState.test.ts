import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { PoolOptions } from "../../src/config/PoolOptions.ts"
import * as PoolConfig from "../../src/config/PoolConfig.ts"

const warningsOf = (command: string, args: ReadonlyArray<string>, pool: PoolOptions = {}) =>
  Effect.map(PoolConfig.fromServers({ x: { command, args, pool } }), ({ warnings }) => warnings)

describe("KnownState", () => {
  it.effect("warns of servers that are known to keep state, where all sessions share them", () =>
    Effect.gen(function* () {
      const known: ReadonlyArray<readonly [command: string, ...args: ReadonlyArray<string>]> = [
        ["npx", "-y", "@playwright/mcp@latest"],
        ["npx", "chrome-devtools-mcp@1.2.3"],
        ["uvx", "--from", "git+https://github.com/oraios/serena", "serena", "start-mcp-server"],
        ["npx", "@modelcontextprotocol/server-sequential-thinking"],
        ["/opt/bin/mcp-server-sequential-thinking"]
      ]
      for (const [command, ...args] of known) {
        const [warning, ...others] = yield* warningsOf(command, args)
        assert.deepStrictEqual(others, [])
        assert.include(warning ?? "", '"sharing": "per-session"', command)
        assert.deepStrictEqual(yield* warningsOf(command, args, { sharing: "per-session" }), [])
        assert.deepStrictEqual(yield* warningsOf(command, args, { sharing: { replicas: 2 } }), [])
        assert.deepStrictEqual(yield* warningsOf(command, args, { sharing: "per-project" }), [])
      }
    })
  )

  it.effect("says nothing of others", () =>
    Effect.gen(function* () {
      for (const args of [
        ["-y", "@modelcontextprotocol/server-memory"],
        ["/home/me/serenade/server.js"],
        ["playwrights"]
      ]) {
        assert.deepStrictEqual(yield* warningsOf("npx", args), [])
      }
    })
  )
})
