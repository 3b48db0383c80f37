const path = require('path');
const { getDefaultConfig, mergeConfig } = require('@react-native/metro-config');
const { FileStore } = require('metro-cache');

module.exports = mergeConfig(getDefaultConfig(__dirname), {
  maxWorkers: 1,
  cacheStores: [new FileStore({ root: path.join(__dirname, 'metro-cache') })],
});
