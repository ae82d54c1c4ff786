/** What the forecast finds in the content that would make the launch be refused. */
import { useQuery } from "@tanstack/react-query";
import { type Campaign, type Forecast, forecastQuery } from "@/api/campaigns";

/**
 * The faults of the content as it is saved in this version; none while nobody knows. They are the same at every time of
 * launch. Where they are not `asked` for, they are only remembered: a forecast costs the server a count of the audience.
 */
export function useContentFaults(
  campaign: Campaign,
  version: string,
  { asked }: { asked: boolean },
): Forecast["faults"] {
  const isAsked = asked && campaign.audience !== null;
  const forecast = useQuery({ ...forecastQuery(campaign.id, null, version), enabled: isAsked });
  // What was found in the version before says nothing about this one.
  return forecast.isPlaceholderData ? [] : (forecast.data?.faults ?? []);
}
