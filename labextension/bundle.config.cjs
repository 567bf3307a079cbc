/** What the bundle has beside Jupyter's own settings: code as modern as JupyterLab's own, and the diff view apart. */

const { rspack } = require('@rspack/core');

const ecma = 2022; // as in tsconfig.json

module.exports = {
  target: ['web', `es${ecma}`],
  optimization: {
    splitChunks: {
      cacheGroups: { defaultVendors: { name: 'diff-view', test: /@codemirror[\\/]merge|style-mod/ } }
    },
    minimizer: [
      new rspack.SwcJsMinimizerRspackPlugin({
        extractComments: false,
        minimizerOptions: { ecma, compress: { ecma, passes: 3, unsafe_arrows: true } }
      })
    ]
  }
};
