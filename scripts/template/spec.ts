import { loadAwsServiceSpecSync } from '@aws-cdk/aws-service-spec';

const database = loadAwsServiceSpecSync();

type ResourceSchema = NonNullable<ReturnType<typeof resourceSchema>>;
export type Property = ResourceSchema['properties'][string];
export type PropertyType = Property['type'];
type TypeReference = Extract<PropertyType, { type: 'ref' }>;

/** CloudFormation's schema of a resource type, or undefined where there is no such type. */
export function resourceSchema(type: string) {
  return database.lookup('resource', 'cloudFormationType', 'equals', type)[0];
}

/** The object type that a property's schema refers to. */
export function typeDefinition({ reference }: TypeReference) {
  return database.get('typeDefinition', reference.$ref);
}
