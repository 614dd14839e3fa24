// A dashboard of ../dashboards, with its variables filled in, and the answers of Prometheus to its queries.
import type { DataTransformerConfig, FieldConfigSource } from "@grafana/data";

export interface Dashboard {
  panels: Panel[];
  /** The ends of the time range, in milliseconds. */
  from: number;
  to: number;
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig: FieldConfigSource;
  // Each type of panel has other options.
  options: any;
  targets: Target[];
  transformations?: DataTransformerConfig[];
}

export interface Target {
  refId: string;
  format?: "table";
  legendFormat: string;
  answer: Series[];
}

/** A sample is a time in seconds, and a number as text. */
export interface Series {
  metric: Record<string, string>;
  samples: [number, string][];
}
