import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { IdTable } from "../../src/mux/IdTable.ts"
import * as Choices from "../lines/Choices.ts"

type Step = { readonly adds: number } | { readonly take: number } | { readonly takeAllBut: number }

/** Some stay while thousands come and go. */
const step = (choices: Choices.Choices): Step => {
  const kind = choices.below(4)
  if (kind === 0) return { adds: 1 + choices.below(choices.of([3, 1500])) }
  return kind === 1 ? { takeAllBut: choices.below(4) } : { take: choices.below(5000) }
}

describe("IdTable", () => {
  it.effect.prop(
    "holds what a map would, in the order of adding",
    { steps: Choices.many({ minimum: 5, maximum: 40 }, step) },
    ({ steps }) =>
      Effect.sync(() => {
        const table = new IdTable<string>()
        const model = new Map<number, string>()
        let last = 0
        const take = (id: number) => {
          assert.strictEqual(table.get(id), model.get(id))
          assert.strictEqual(table.take(id), model.get(id))
          model.delete(id)
        }
        for (const step of steps) {
          if ("adds" in step) {
            for (let i = 0; i < step.adds; i++) {
              last++
              assert.strictEqual(table.add(`value ${last}`), last)
              model.set(last, `value ${last}`)
            }
          } else if ("take" in step) take([...model.keys()][step.take % model.size] ?? step.take)
          else for (const [id] of table) if (id % 4 !== step.takeAllBut) take(id)
          assert.deepStrictEqual([...table], [...model])
          assert.strictEqual(table.size, model.size)
          for (const id of [-1, 0, last + 1, last + 1024, NaN]) assert.isUndefined(table.get(id))
        }
      })
  )
})
