// Data frames, as Grafana makes them of the answers of Prometheus.
import { applyFieldOverrides, cacheFieldDisplayNames, FieldColorModeId } from "@grafana/data";
import { FieldConfigOptionsRegistry, FieldType, standardTransformers } from "@grafana/data";
import { standardTransformersRegistry, toDataFrame, transformDataFrame } from "@grafana/data";
import type { DataFrame, DataTransformerInfo, FieldColor, FieldConfigPropertyItem } from "@grafana/data";
import type { FieldConfigSource, GrafanaTheme2 } from "@grafana/data";
import { firstValueFrom } from "rxjs";
import type { Panel, Series, Target } from "./dashboard";

/** The default colors, by type of panel. Other types take their colors from thresholds. */
const DEFAULT_COLORS: Record<string, FieldColor> = { timeseries: { mode: FieldColorModeId.PaletteClassic } };

const { mergeTransformer, organizeFieldsTransformer } = standardTransformers;
standardTransformersRegistry.setInit(() => [mergeTransformer, organizeFieldsTransformer].map(registered));

/** The frames of a panel, transformed and with the display of their fields. */
export async function framesOf(panel: Panel, theme: GrafanaTheme2): Promise<DataFrame[]> {
  const several = panel.targets.length > 1;
  const found = panel.targets.filter(({ answer }) => answer.length > 0);
  const frames = found.flatMap((target) => (target.format ? table(target, several) : series(target)));
  const { defaults, overrides } = panel.fieldConfig;
  const fieldConfig = { defaults: { color: DEFAULT_COLORS[panel.type], ...defaults }, overrides };
  const displayed = applyFieldOverrides({
    data: await firstValueFrom(transformDataFrame(panel.transformations ?? [], frames)),
    fieldConfig,
    fieldConfigRegistry: properties(fieldConfig),
    replaceVariables: (text) => text,
    theme,
  });
  cacheFieldDisplayNames(displayed);
  return displayed;
}

/** One frame: a column for the time, for each label, and for the value. */
function table({ refId, answer }: Target, several: boolean): DataFrame {
  const labels = [...new Set(answer.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId,
    fields: [
      { name: "Time", type: FieldType.time, values: answer.flatMap(times) },
      ...labels.map((name) => ({ name, type: FieldType.string, values: answer.map(({ metric }) => metric[name]) })),
      { name: several ? `Value #${refId}` : "Value", type: FieldType.number, values: answer.flatMap(numbers) },
    ],
  });
}

/** A frame for each series, named by its legend. */
function series({ refId, legendFormat, answer }: Target): DataFrame[] {
  return answer.map((one) => {
    const labels = one.metric;
    const displayNameFromDS = legendFormat.replace(/{{(\w+)}}/g, (_, label) => labels[label] ?? "");
    return toDataFrame({
      refId,
      fields: [
        { name: "Time", type: FieldType.time, values: times(one) },
        { name: "Value", type: FieldType.number, values: numbers(one), labels, config: { displayNameFromDS } },
      ],
    });
  });
}

function times({ samples }: Series): number[] {
  return samples.map(([seconds]) => seconds * 1000);
}

function numbers({ samples }: Series): number[] {
  return samples.map(([, number]) => Number(number));
}

function registered(transformer: DataTransformerInfo) {
  const { id, name } = transformer;
  return { id, name, transformation: async () => transformer, editor: () => null, imageDark: "", imageLight: "" };
}

/** The properties of fields that a panel sets. Grafana registers them with the editors of the panel. */
function properties({ defaults, overrides }: FieldConfigSource): FieldConfigOptionsRegistry {
  const overridden = overrides.flatMap((override) => override.properties.map(({ id }) => id));
  const custom = Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`);
  const ids = new Set([...Object.keys(defaults).filter((name) => name !== "custom"), ...custom, ...overridden]);
  return new FieldConfigOptionsRegistry(() => [...ids].map(property));
}

function property(id: string): FieldConfigPropertyItem {
  const path = id.replace("custom.", "");
  const editor = () => null;
  const isCustom = path !== id;
  const process = (value: unknown) => value;
  return { id, path, name: path, isCustom, process, shouldApply: () => true, editor, override: editor };
}
