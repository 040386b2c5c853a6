/**
 * What a client left unread is garbage once it is let go of, and V8 looks for that after 64 MB of it: here it is told at
 * once, or the next ones' results would stand beside it.
 */
import type * as V8 from "node:v8"
import type * as Vm from "node:vm"

/**
 * Called where so many bytes are let go of: in a turn of its own, once for all of a turn, V8 looks through what is young,
 * or through all where that was due.
 */
export const leave = (bytes: number): void => {
  if (bytes < worthwhile || isComing) return
  isComing = true
  setImmediate(() => {
    isComing = false
    collect ??= find()
    collect({ type: "minor" })
  })
}

type Collect = (options: { readonly type: "minor" }) => void

let isComing = false
let collect: Collect | undefined

/** Node gives it to contexts that begin while the flag is set. */
const find = (): Collect => {
  const { setFlagsFromString }: typeof V8 = process.getBuiltinModule("node:v8")
  const { runInNewContext }: typeof Vm = process.getBuiltinModule("node:vm")
  setFlagsFromString("--expose-gc")
  const found: Collect = runInNewContext("gc")
  setFlagsFromString("--no-expose-gc")
  return found
}

/** Bytes: less is not worth a pause of one or two milliseconds. */
const worthwhile = 8 * 1024 * 1024
