/** The version of this package, as `initialize`, `status` and `--version` give it; a test holds it to package.json. */
export const version = "0.1.0"
