/** Addresses, hosts and routes: what is read of them, and what is none. */
import { assert, describe, it } from "@effect/vitest"
import * as Access from "../../src/http/Access.ts"
import * as Address from "../../src/http/Address.ts"
import * as Route from "../../src/http/Route.ts"

describe("Address", () => {
  it("reads a port, with a host before it or without", () => {
    const cases: ReadonlyArray<readonly [string, string | undefined]> = [
      ["8080", "http://127.0.0.1:8080"],
      ["0", "http://127.0.0.1:0"],
      ["LOCALHOST:1", "http://localhost:1"],
      ["0.0.0.0:80", "http://127.0.0.1:80"],
      ["[::1]:80", "http://[::1]:80"],
      ["[::]:80", "http://[::1]:80"],
      // As the system reads them: each is all addresses.
      ["0:80", "http://127.0.0.1:80"],
      ["0.0:80", "http://127.0.0.1:80"],
      ["0x0:80", "http://127.0.0.1:80"],
      ["[0:0::0]:80", "http://[::1]:80"],
      ["127.1:80", "http://127.0.0.1:80"],
      ["my_host:80", "http://my_host:80"],
      ["256.0.0.1:80", undefined],
      ["a?b:80", undefined],
      ["a@b:80", undefined],
      ["my.host:65535", "http://my.host:65535"],
      ["65536", undefined],
      ["", undefined],
      [":80", undefined],
      ["::1:80", undefined],
      ["[zz]:80", undefined],
      ["http://x:80", undefined],
      ["-1", undefined],
      ["80 ", undefined]
    ]
    for (const [text, url] of cases) {
      const address = Address.parse(text)
      assert.strictEqual(address === undefined ? undefined : Address.url(address), url, text)
    }
  })

  it("knows which addresses are this machine's alone", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) assert.isTrue(Address.isLoopback(host), host)
    for (const host of ["0.0.0.0", "::", "192.168.0.1", "127.example.com", "localhost.example.com"]) {
      assert.isFalse(Address.isLoopback(host), host)
    }
  })
})

describe("Access", () => {
  it("compares tokens whatever their length", () => {
    const digest = Access.digestOf("secret-secret-secret")
    assert.isTrue(Access.hasToken("Bearer secret-secret-secret", digest))
    assert.isTrue(Access.hasToken("bearer  secret-secret-secret ", digest))
    for (const wrong of ["", "Bearer", "Bearer x", "secret-secret-secret", "Bearer secret-secret-secret x"]) {
      assert.isFalse(Access.hasToken(wrong, digest), wrong)
    }
  })
})

describe("Route", () => {
  it("finds a server of any name at its path", () => {
    for (const name of ["a", "odd / näme", "x@/home/me", "..", "%2f", "constructor"]) {
      assert.deepStrictEqual(Route.parse(Route.pathOf(name)), { to: "server", name })
      assert.deepStrictEqual(Route.parse(`${Route.pathOf(name)}?a=/mcp`), { to: "server", name })
    }
    for (const path of ["/", "/servers//mcp", "/servers/mcp", "/servers/a/mcp/", "/servers/a", "/servers/%zz/mcp"]) {
      assert.isUndefined(Route.parse(path), path)
    }
  })
})
