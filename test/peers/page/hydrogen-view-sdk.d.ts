/** What the tests use of Hydrogen, which brings no types that its package exports. */
declare module "hydrogen-view-sdk" {
  interface Observable<T> {
    get(): T;
    waitFor(predicate: (value: T) => boolean): { readonly promise: Promise<T> };
  }

  interface Entries extends Iterable<{ readonly content?: { readonly body?: string } | null }> {
    subscribe(listener: Readonly<Record<string, () => void>>): () => void;
  }

  interface Timeline {
    readonly entries: Entries;
    loadAtTop(count: number): Promise<unknown>;
    dispose(): void;
  }

  export interface Room {
    readonly name: string;
    readonly notificationCount: number;
    readonly isUnread: boolean;
    openTimeline(): Promise<Timeline>;
    sendEvent(type: string, content: object, attachments: readonly unknown[]): Promise<void>;
    clearUnread(): Promise<void>;
  }

  interface LoginMethods {
    readonly password: (user: string, password: string) => unknown;
  }

  export class Platform {
    readonly history: unknown;
    constructor(options: { container: HTMLElement; assetPaths: object; config: object; options: object });
    setNavigation(navigation: unknown): void;
    init(): Promise<void>;
  }

  export class Client {
    readonly loadStatus: Observable<string>;
    readonly loginFailure: string | undefined;
    readonly loadError: Error | undefined;
    readonly session: { readonly rooms: ReadonlyMap<string, Room> } | undefined;
    constructor(platform: Platform);
    queryLogin(homeserver: string): { readonly result: Promise<LoginMethods> };
    startWithLogin(method: unknown): Promise<void>;
  }

  export const LoadStatus: { readonly Ready: string; readonly Error: string; readonly LoginFailed: string };
  export function createNavigation(): unknown;
  export function createRouter(options: object): { attach(): void };
}
