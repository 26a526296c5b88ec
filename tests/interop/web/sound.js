/// Comes before a page's own scripts: lends an ear to whatever the page plays, in `globalThis.loudness()`.

const ears = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    const ear = new AnalyserNode(this.context);
    connect.call(this, ear);
    ears.push(ear);
  }
  return connect.call(this, to, ...rest);
};

globalThis.loudness = () => {
  const peaks = ears.map((ear) => {
    const samples = new Float32Array(ear.fftSize);
    ear.getFloatTimeDomainData(samples);
    return Math.max(...samples.map(Math.abs));
  });
  return Math.max(0, ...peaks);
};
