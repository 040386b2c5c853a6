/** Every command but `connect`: parses the command line, runs it, and ends the process. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer, Logger } from "effect"
import { CliConfig, GlobalFlag } from "effect/cli"
import { runMain } from "./runMain.ts"
import { run } from "./tree.ts"
import * as Usage from "./usage.ts"

const layer = Layer.mergeAll(
  NodeServices.layer,
  Usage.layer,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
  Layer.succeed(Logger.LogToStderr, true)
)

runMain(Effect.provide(run(process.argv.slice(2)), layer))
