'use strict';

// The framework loads this by whatever Node it was started with, and plugin.ts takes a newer one than some have.
require('../../scripts/preload.cjs');

module.exports = require('./plugin.ts').default;
