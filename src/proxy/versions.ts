/** Announces in the answer of `/versions` that events have orders: `unstable_features["org.matrix.msc4033"]`. */
import type { Steps } from "../in-slices.ts";
import { ORDER_FEATURE } from "../matrix/order-names.ts";
import { type JsonHandler, walk } from "./json-walk.ts";
import { type EditedObject, edited, ObjectMembers, putInto } from "./object-edit.ts";

const FEATURES = "unstable_features";

/** Returns undefined if the answer is no JSON object. */
export function* withFeature(json: Buffer): Steps<Buffer | undefined> {
  let depth = 0;
  let key: string | undefined;
  let root: ObjectMembers | undefined;
  let features: ObjectMembers | undefined;
  let announced: EditedObject | undefined;
  const handler: JsonHandler = {
    open: (at, isObject) => {
      depth++;
      if (depth === 1 && isObject) root = new ObjectMembers(at + 1, new Set());
      const isFeatures = depth === 2 && isObject && key === FEATURES;
      if (isFeatures) features = new ObjectMembers(at + 1, new Set([ORDER_FEATURE]));
      return depth === 1 ? isObject : isFeatures;
    },
    key: (text, at) => {
      if (depth === 1) key = text;
      (depth === 1 ? root : features)?.begin(text, at);
    },
    scalar: (_, end) => (depth === 1 ? root : features)?.end(end),
    close: (end) => {
      if (depth === 2 && features !== undefined) {
        announced = features.close();
        features = undefined;
      }
      depth--;
      (depth === 1 ? root : features)?.end(end);
    },
  };
  if (!(yield* walk(json, handler)) || root === undefined) return undefined;
  const member = `"${ORDER_FEATURE}":true`;
  if (announced !== undefined) return yield* edited(json, [putInto(announced, member), ...announced.cuts]);
  return yield* edited(json, [putInto(root.close(), `"${FEATURES}":{${member}}`)]);
}
