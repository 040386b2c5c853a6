/** Servers with a `url`: a session over HTTP that all clients share, supervised as a process is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fixture from "../fixtures/conformance/http.ts"
import * as LineClient from "../support/LineClient.ts"
import * as RemoteServer from "../support/RemoteServer.ts"
import * as TestPool from "../support/TestPool.ts"

describe("a server with a url", () => {
  it.live("answers many clients over one session", () =>
    Effect.gen(function* () {
      const remote = yield* RemoteServer.make()
      const world = yield* TestPool.make(() => ({ far: { url: remote.url } }))
      const one = yield* world.connect("far")
      const other = yield* world.connect("far")
      assert.strictEqual(LineClient.textOf(yield* one.call("echo", { a: 1 })), 'echo {"a":1}')
      assert.strictEqual(LineClient.textOf(yield* other.call("echo", { a: 2 })), 'echo {"a":2}')
      assert.strictEqual(remote.of("initialize").length, 1)
    })
  )

  for (const era of ["legacy", "modern"] as const) {
    it.live(`works with an SDK's server of the ${era} era`, () =>
      Effect.gen(function* () {
        const { url } = yield* Effect.acquireRelease(
          Effect.promise(() => Fixture.serve(era)),
          ({ close }) => Effect.promise(close)
        )
        const world = yield* TestPool.make(() => ({ far: { url } }))
        const client = yield* world.connect("far")
        assert.strictEqual(
          LineClient.textOf(yield* client.call("test_simple_text")),
          "This is a simple text response for testing."
        )
      })
    )
  }
})
