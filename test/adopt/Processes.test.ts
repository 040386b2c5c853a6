import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Processes from "../../src/adopt/Processes.ts"

const running = (pid: number, parent: number, ...words: ReadonlyArray<string>): Processes.Running => ({
  pid,
  parent,
  words
})

describe("Processes.copies", () => {
  const command = "npx"
  const args = ["-y", "@scope/server", "--flag"]

  it("finds what hosts have started, under the names that npx and scripts have", () => {
    const all = [
      running(1, 0, "init"),
      // A host, and npx as it shows itself, with the server below it.
      running(10, 1, "/usr/bin/claude"),
      running(11, 10, "npm exec @scope/server --flag"),
      running(12, 11, "sh", "-c", "server --flag"),
      running(13, 12, "node", "/home/ada/.npm/_npx/1/node_modules/.bin/server", "--flag"),
      // Another host, and npx before it has given itself a name.
      running(20, 1, "Cursor"),
      running(21, 20, "node", "/usr/bin/npx", "-y", "@scope/server", "--flag"),
      // Others.
      running(30, 1, "npm exec @scope/server-two --flag"),
      running(31, 1, "node", "/usr/bin/npx", "-y", "@scope/server"),
      running(32, 1, "grep", "npx", "-y", "@scope/server", "--flag", "more")
    ]
    assert.deepStrictEqual(Processes.copies(command, args, all), [11, 21])
    assert.deepStrictEqual(Processes.tree(11, all), [11, 12, 13])
  })

  it("knows a command by its name, whatever stands before it", () => {
    const all = [
      running(2, 1, "/usr/bin/python3", "/home/ada/.local/bin/mcp-server-git", "--repository", "x"),
      running(3, 1, "mcp-server-git", "--repository", "x"),
      running(4, 1, "mcp-server-git", "--repository", "y"),
      running(5, 1, "/opt/node", "/srv/index.js"),
      running(6, 1, "/opt/node", "--inspect", "/srv/index.js")
    ]
    assert.deepStrictEqual(Processes.copies("/usr/local/bin/mcp-server-git", ["--repository", "x"], all), [2, 3])
    assert.deepStrictEqual(Processes.copies("node", ["/srv/index.js"], all), [5])
  })

  it("leaves out what a daemon runs", () => {
    const all = [
      running(2, 1, "node", "/opt/bin/mcp-pool", "serve"),
      running(3, 2, "server", "x"),
      running(4, 1, "server", "x"),
      running(5, 4, "server", "x")
    ]
    assert.deepStrictEqual(Processes.copies("server", ["x"], all), [4])
  })
})

describe("Processes", () => {
  it.live("sees a real process with its words, and its memory", () =>
    Effect.gen(function* () {
      const word = `adopt-${process.pid}`
      const child = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const child = spawn(process.execPath, ["-e", "console.log(1); process.stdin.resume()", word])
          await once(child.stdout, "data")
          return child
        }),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const all = yield* Processes.list
      const pids = Processes.copies(process.execPath, ["-e", "console.log(1); process.stdin.resume()", word], all)
      assert.deepStrictEqual(pids, [child.pid!])
      assert.strictEqual(all.find(({ pid }) => pid === child.pid)?.parent, process.pid)
      assert.isAbove(yield* Processes.memoryOf(pids), 1024 * 1024)
    })
  )
})
