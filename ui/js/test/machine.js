// A real daemon on this machine, beside that of the demo: with its own data and networks.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// What runs games needs the rights of the machine's root.
const SUDO = process.getuid() === 0 ? [] : ["sudo"];

// Runs a program as root and returns what it said.
export function asRoot(...words) {
  const [program, ...rest] = [...SUDO, ...words];
  return execFileSync(program, rest, { encoding: "utf8" }).trim();
}

export class Machine {
  constructor(program) {
    assert.ok(program, "MAMBA_EDGE must name the daemon's program");
    this.program = program;
    this.dir = mkdtempSync(join(tmpdir(), "mamba-second-"));
    // A folder that servers may be given.
    this.maps = join(this.dir, "maps");
    mkdirSync(this.maps);
    this.config = join(this.dir, "edge.toml");
    writeFileSync(this.config, `data_dir = "${join(this.dir, "data")}"\nnetwork_pool = "10.221.0.0/16"\n`
      + `allowed_mounts = ["${this.maps}"]\n`);
  }

  // Runs a command of the daemon's program; what it said is told when it fails.
  do(...words) {
    return new Promise((done, failed) => {
      const [program, ...rest] = [...SUDO, this.program, "--config", this.config, ...words];
      const child = spawn(program, rest);
      let said = "";
      child.stdout.on("data", (text) => { said += text; });
      child.stderr.on("data", (text) => { said += text; });
      child.once("error", failed);
      child.once("exit", (code) => (code === 0 ? done(said) : failed(new Error(`${words[0]}: ${said}`))));
      if (words[0] === "run") this.daemon = child;
    });
  }

  // Ends the daemon; its games go on.
  async stop() {
    if (this.daemon?.exitCode !== null) return;
    const gone = new Promise((done) => this.daemon.once("exit", done));
    // sudo passes it on.
    this.daemon.kill();
    await gone;
  }

  // Removes everything that it made. `node` is what the hub calls it, if it ever did.
  async remove(node) {
    await this.stop();
    for (const [list, remove] of [[["ps", "--all", "--quiet"], ["rm", "--force"]], [["network", "ls", "--quiet"], ["network", "rm"]]]) {
      const found = node ? asRoot("docker", ...list, "--filter", `label=mamba.node=${node}`) : "";
      if (found) asRoot("docker", ...remove, ...found.split("\n"));
    }
    asRoot("rm", "-rf", this.dir);
  }
}
