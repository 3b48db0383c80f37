// Bundles the app in this folder as AppTuner's CLI does: for development, in a Metro process of its
// own, which gives ids to modules in the order in which it comes upon them.
//
// Usage: node bundle.js OUTPUT
const Metro = require('metro');
const config = require('./metro.config');

Metro.runBuild(config, { entry: 'app/index.js', platform: 'ios', dev: true, minify: false, out: process.argv[2] })
  .then(() => process.exit(0))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
