// Specs to start from. The first needs no download: its dataset is made by the server itself.

const twoLayers = (units) => [{ type: 'affine', units }, { type: 'relu' }, { type: 'affine', units: 10 }];

export const presets = [
  {
    label: 'Quick look',
    hint: 'Built-in digits, seconds',
    spec: {
      name: 'first steps',
      model: 'digits',
      dataset: { name: 'digits', train_limit: 10000 },
      network: twoLayers(50),
      optimizer: { type: 'adam', learning_rate: 0.001 },
      batch_size: 100,
      epochs: 5,
      seed: 42,
    },
  },
  {
    label: 'Two-layer net',
    hint: 'MNIST, plain SGD',
    spec: {
      name: 'two-layer net',
      model: 'mnist',
      dataset: { name: 'mnist' },
      network: twoLayers(50),
      init: { type: 'std', std: 0.01 },
      optimizer: { type: 'sgd', learning_rate: 0.1 },
      batch_size: 100,
      epochs: 17,
      seed: 42,
    },
  },
  {
    label: 'Wide net',
    hint: 'MNIST, Adam, 3 layers',
    spec: {
      name: 'wide net',
      model: 'mnist',
      dataset: { name: 'mnist' },
      network: [{ type: 'affine', units: 256 }, { type: 'relu' }, ...twoLayers(128)],
      init: 'he',
      optimizer: { type: 'adam', learning_rate: 0.001 },
      weight_decay: 0.0001,
      batch_size: 128,
      epochs: 20,
      seed: 42,
    },
  },
  {
    label: 'Old school',
    hint: 'Sigmoid, Xavier, momentum',
    spec: {
      name: 'sigmoid net',
      model: 'mnist',
      dataset: { name: 'mnist' },
      network: [{ type: 'affine', units: 100 }, { type: 'sigmoid' }, { type: 'affine', units: 10 }],
      init: 'xavier',
      optimizer: { type: 'momentum', learning_rate: 0.01, momentum: 0.9 },
      batch_size: 100,
      epochs: 20,
      seed: 42,
    },
  },
];
