// Begins: loads the panel, and says so when it stops working.
import "./crash.js";
import init from "ui-pkg";
import wasm from "ui-wasm";

init({ module_or_path: wasm });
