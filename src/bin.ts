#!/usr/bin/env node
/** The executable: `connect` runs in a small chunk of its own, everything else in the command line's. */
import { enableCompileCache } from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
