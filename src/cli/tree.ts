/** The command tree. */
import { Command } from "effect/cli"
import { version } from "../version.ts"
import { adopt } from "./adopt.ts"
import { connect } from "./bridge.ts"
import { call } from "./call.ts"
import { certify } from "./certify.ts"
import { config } from "./config.ts"
import { doctor } from "./doctor.ts"
import { logs } from "./logs.ts"
import { pin } from "./pin.ts"
import { reload } from "./reload.ts"
import { restart } from "./restart.ts"
import { root } from "./root.ts"
import { serve } from "./serve.ts"
import { service } from "./service.ts"
import { sessions } from "./sessions.ts"
import { shutdown } from "./shutdown.ts"
import { start } from "./start.ts"
import { status } from "./status.ts"
import { stop } from "./stop.ts"
import { tools } from "./tools.ts"
import { trust } from "./trust.ts"
import { types } from "./types.ts"

const tree = root.pipe(
  Command.withSubcommands([
    { group: "Daemon", commands: [serve, status, logs, start, stop, restart, reload, shutdown] },
    { group: "Set up", commands: [service, adopt, config, trust, pin, doctor, certify] },
    { group: "Clients", commands: [connect, call, tools, types, sessions] }
  ])
)

/** Runs one command line, without the name of the program. */
export const run = Command.runWith(tree, { version })
