'use strict';

// Loaded before all else, and so by whatever Node there is: no syntax that an old one would refuse.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const modules = join(__dirname, '../node_modules');
const needed = 24;

const problem = findProblem();
if (problem !== undefined) {
  console.error(problem);
  process.exit(1);
}

/** What keeps the project's commands from running, and what to do about it, in a line; undefined where nothing does. */
function findProblem() {
  if (!existsSync(join(modules, 'serverless'))) return 'What this runs on is not installed here. Run: npm ci';
  if (Number(process.versions.node.split('.')[0]) >= needed) return undefined;
  const mismatch = `This runs on Node ${needed} or later, and not on ${process.version}`;
  return existsSync(join(modules, 'node/bin'))
    ? `${mismatch}. npm and npx take the one in node_modules: run it by them`
    : `${mismatch}. npm ci installs one, unless scripts are ignored (--ignore-scripts). Run: npm rebuild node --ignore-scripts=false`;
}
