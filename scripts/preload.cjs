'use strict';

// What goes before every command of the project.
require('./needed-node.cjs');
require('./end-with-npm.cjs');
