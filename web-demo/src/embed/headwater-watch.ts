/// The one file that other pages load: `<script type="module" src="https://host:4443/-/headwater-watch.js"></script>`.
///
/// The audio thread loads the same file for its processor, so that one file suffices and no `blob:` is needed.

import { inAudioThread } from '../media/io/worklet';
import { defineElement } from './element';

if (!inAudioThread) {
  defineElement(import.meta.url);
}
